/** Users of nats.conf, by permission. */
export const roles = ['node', 'writer', 'reader', 'operator'] as const
export type Role = (typeof roles)[number]

/** Name of the environment variable from which nats.conf takes the role's password. */
export function passwordVariable(role: Role): string {
  return `ENGRAM_${role.toUpperCase()}_PASSWORD`
}
