/** Users of nats.conf, by what they may do. */
export const roles = ['node', 'writer', 'reader', 'operator'] as const
export type Role = (typeof roles)[number]

/** Name of the environment variable that nats.conf takes the role's password from. */
export function passwordVariable(role: Role): string {
  return `ENGRAM_${role.toUpperCase()}_PASSWORD`
}
