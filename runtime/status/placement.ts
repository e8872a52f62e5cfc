/** What a node says of itself that matters for the places of spaces. */
export interface NodePlacement {
  /** Failure domain; null: none was given, or it is not known. Absent from earlier versions. */
  readonly zone?: string | null
  /** Other nodes are to take its place in all spaces; absent: not so. */
  readonly evacuates?: true
}
