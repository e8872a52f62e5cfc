/** Steps of a change of the members, as successive listings show them. Pure. */
import { changeName } from '../status/memberChange.js'
import type { ChangeStatus } from '../status/memberChange.js'
import { namesOf, waitText } from './membersText.js'
import type { MembersListing } from './membersText.js'

/** The change to wait for, as it was ordered. */
export type Goal = Pick<ChangeStatus, 'add' | 'remove' | 'since'>

export interface Look {
  /** News since the last look, a sentence each. */
  readonly steps: readonly string[]
  /** Null: the change is under way. `gone`: it is neither done nor under way. */
  readonly end: 'done' | 'gone' | null
}

/** Progress of one install is shown so often. */
const progressMs = 5000

export class MembersWait {
  private epoch = 0
  /** What was shown last, and its kind. */
  private shown = { kind: '', atMs: -Infinity }

  /** `goal`: null for whatever is under way; `names`: members when it was ordered. */
  constructor(private goal: Goal | null = null, private names: readonly string[] | null = null) {}

  /** What is waited for; null: nothing. */
  get name(): string | null {
    return this.goal && changeName(this.goal)
  }

  /** `listing`: null while nobody answers. */
  look(listing: MembersListing | null, atMs: number): Look {
    if (listing === null) return underWay(this.once('silent', 'no member answers', atMs))
    // Only a primary knows for certain what the record says, and a former one does not.
    if (listing.primary === null) return underWay(this.once('vacant', waitText(listing), atMs))
    if (listing.epoch < this.epoch) return underWay([])
    this.epoch = listing.epoch
    const steps = this.moved(listing)
    const { change } = listing
    this.goal ??= change
    if (this.goal === null) return { steps, end: 'done' }
    if (change && isSame(this.goal, change)) {
      const text = waitText(listing)
      return underWay([...steps, ...this.once(kindOf(listing, text), text, atMs)])
    }
    return { steps, end: isDone(this.goal, listing) ? 'done' : 'gone' }
  }

  /** Members that came and went since the last look. */
  private moved(listing: MembersListing): string[] {
    const [before, now] = [this.names, namesOf(listing)]
    this.names = now
    if (before === null) return []
    const all = `members: ${now.join(' ')}`
    return [
      ...now.filter((node) => !before.includes(node)).map((node) =>
        `${node} is a member now; ${all}`
      ),
      ...before.filter((node) => !now.includes(node)).map((node) =>
        `${node} is no member any more; ${all}`
      ),
    ]
  }

  /** The text, unless the same was shown last; progress now and then. */
  private once(kind: string, text: string, atMs: number): string[] {
    const { shown } = this
    const isDue = kind !== shown.kind
      || (kind.startsWith('install') && atMs - shown.atMs >= progressMs)
    if (!isDue) return []
    this.shown = { kind, atMs }
    return [text]
  }
}

const underWay = (steps: readonly string[]): Look => ({ steps, end: null })

/** Texts that differ in numbers only are of one kind. */
function kindOf({ members, change }: MembersListing, text: string): string {
  const install = members.find(({ node }) => node === change?.add)?.install
  return install ? `install ${install.phase} ${install.source}` : text.replaceAll(/\b\d+\b/g, '')
}

/** Or what is left of it. Two orders may have been given within a second. */
function isSame({ add, remove, since }: Goal, change: ChangeStatus): boolean {
  return change.since === since && change.remove === remove
    && (change.add === null || change.add === add)
}

function isDone({ add, remove }: Goal, listing: MembersListing): boolean {
  const names = namesOf(listing)
  return (add === null || names.includes(add)) && (remove === null || !names.includes(remove))
}
