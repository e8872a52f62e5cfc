import { useRef } from 'preact/hooks'
import { installShare, installText } from '../../../status/install.js'
import { rebuildText } from '../../../status/rebuild.js'
import { retainText } from '../../../status/retain.js'
import type { ClusterMember, ClusterNode, ClusterSpace } from '../../../status/status.js'
import { lastFailover } from '../../model/headlines.js'
import { absenceOf } from '../../model/presence.js'
import { stateText } from '../../model/state.js'
import type { ActorView } from '../../model/state.js'
import { countText, dayClockText, lossText, momentText, msText } from '../../model/words.js'
import { hrefOf } from '../route.js'
import { at, entries, facts, fileName, link, shownMs, state } from '../store.js'
import { Changes } from './changes.js'
import { Forks } from './forks.js'
import { Headlines } from './headlines.js'
import { kindsOfMarks, MessageMarks } from './marks.js'

/** Timeline entries shown here. */
const latestMax = 6
/** Spaces of a node listed individually. */
const spacesMax = 6
const brokerTexts = { connected: 'connected', disconnected: 'no answer' } as const
/** Age from which a status is marked as old. */
const staleMs = 3_000
const goneStates: ReadonlySet<string> = new Set(
  ['dead', 'left', 'unreachable', 'stopped', 'failed'],
)

export function ClusterView() {
  const map = useRef<HTMLDivElement | null>(null)
  const { status, statusAtMs, broker, start } = state.value
  if (status === null) {
    return <p class="empty">Waiting for the first status of the cluster…</p>
  }
  const isLost = fileName.value === null && link.value.kind === 'lost'
  const isOld = at.value === null && shownMs.value - statusAtMs > staleMs
  return (
    <>
      <Headlines />
      <div class="map" ref={map}>
        <div class={`broker-bar ${broker?.state === 'disconnected' ? 'gone' : ''}`}
          data-broker={broker?.state}
        >
          <b>NATS</b>
          <span>{broker === null ? '' : brokerTexts[broker.state]}</span>
          <Legend />
        </div>
        <ul class={`nodes ${isOld || isLost ? 'stale' : ''}`} aria-label="Nodes">
          {status.nodes.map((node) => (
            <NodeCard key={node.id} node={node} spaces={status.spaces}
              grantMs={start?.times.grantMs ?? 2_000} />
          ))}
        </ul>
        <MessageMarks map={map} />
      </div>
      {isOld && (
        <p class="hint">
          No node has answered for{' '}
          {msText(shownMs.value - statusAtMs)}. This is the last known state.
        </p>
      )}
      <section class="spaces" aria-labelledby="spaces-title">
        <h2 id="spaces-title">Spaces</h2>
        <div class="scroll" tabIndex={0} role="region" aria-labelledby="spaces-title">
          <SpaceTable spaces={status.spaces} />
        </div>
      </section>
      <Changes spaces={status.spaces} />
      <Forks spaces={status.spaces} />
      <Latest />
    </>
  )
}

/** Latest entries up to the moment shown. */
function Latest() {
  const shown = entries.value.filter(({ atMs }) => atMs <= shownMs.value).slice(-latestMax)
  if (shown.length === 0) return null
  return (
    <section class="spaces" aria-labelledby="latest-title">
      <h2 id="latest-title">Latest</h2>
      <ol class="latest">
        {shown.toReversed().map(({ atMs, kind, text, promotion }) => (
          <li key={`${atMs} ${text}`}>
            <a class="time" href={hrefOf('timeline', { open: promotion?.id ?? null })}>
              {dayClockText(atMs, shownMs.value, 0)}
            </a>
            <i class={`dot ${kind}`} aria-hidden="true" />
            <span>{text}</span>
          </li>
        ))}
      </ol>
    </section>
  )
}

function Legend() {
  return (
    <span class="legend" aria-label="Messages">
      {Object.entries(kindsOfMarks).map(([kind, name]) => (
        <span key={kind}>
          <i class={`dot ${kind}`} aria-hidden="true" />
          {name}
        </span>
      ))}
    </span>
  )
}

interface CardProps {
  readonly node: ClusterNode
  readonly spaces: readonly ClusterSpace[]
  readonly grantMs: number
}

function NodeCard({ node, spaces, grantMs }: CardProps) {
  const isGone = goneStates.has(node.state)
  const roles = spaces.flatMap((space) => {
    const member = space.members.find((one) => one.node === node.id)
    return member === undefined ? [] : [{ space, member }]
  })
  const first = roles.toSorted((a, b) => rank(a.member) - rank(b.member))
  const view = state.value.nodes.get(node.id)
  const actors = view === undefined ? 0 : [...view.actors.values()].filter(isAlive).length
  return (
    <li class={`node-card ${isGone ? 'gone' : node.state}`} data-node={node.id}
      data-state={node.state}
    >
      <div class="node-head">
        <h2>{node.id}</h2>
        <span class="state">{node.state}</span>
      </div>
      <p class="facts">
        {isGone
          ? goneText(node.id)
          : <>pid {node.pid} · up {msText(node.uptimeMs ?? 0)} · {actors} actors</>}
      </p>
      <ul class="roles">
        {first.slice(0, spacesMax).map(({ space, member }) => (
          <RoleRow key={space.id} space={space} member={member} isGone={isGone} grantMs={grantMs} />
        ))}
      </ul>
      {first.length > spacesMax && <p class="facts">and {first.length - spacesMax} more spaces</p>}
      {!isGone && (
        <p class="facts">
          <a href={hrefOf('charts', { node: node.id })}>Statecharts of {node.id}</a>
        </p>
      )}
    </li>
  )
}

/** Of nodes that are not to be in sync. */
const absentTexts: Readonly<Record<string, string>> = {
  learner: 'no member yet',
  removed: 'no member any more, and still has its data',
}

const roleTexts: Readonly<Record<string, string>> = {
  gone: 'no answer',
  handingOver: 'handing over',
}

/** Time at which it was last heard, and its peers' evidence. */
function goneText(id: string): string {
  const absence = absenceOf(state.value, id)
  if (absence === null) return 'does not answer'
  return `last heard at ${momentText(absence.sinceMs, shownMs.value)}: ${absence.text}`
}

function isAlive({ exit, state: value }: ActorView): boolean {
  return exit === null && value !== null
}

function rank(member: ClusterMember): number {
  return { primary: 0, promoting: 1, removed: 3 }[member.role as string] ?? 2
}

interface RoleProps {
  readonly space: ClusterSpace
  readonly member: ClusterMember
  readonly isGone: boolean
  readonly grantMs: number
}

function RoleRow({ space, member, isGone, grantMs }: RoleProps) {
  const role = isGone ? 'gone' : roleOf(space, member)
  const actor = state.value.nodes.get(member.node)?.actors.get(`space.${space.id}`)
  return (
    <li class={`role ${role}`} data-role={role} data-space={space.id}>
      <div class="role-head">
        <a href={hrefOf('charts', { node: member.node, actor: `space.${space.id}` })}>{space.id}</a>
        <span class={`badge ${role}`}>{roleTexts[role] ?? role}</span>
        <span class="epoch">epoch {member.epoch ?? '–'}</span>
      </div>
      {!isGone && (
        <p class="facts" title={actor?.reason ?? member.reason}>
          {member.state}
          {member.durableSequence === null ? '' : ` · at ${countText(member.durableSequence)}`}
          {role === 'primary' || role === 'removed' || member.install
            ? ''
            : ` · lag ${member.lagMs === null ? '-' : msText(member.lagMs)}`}
          {member.inSync ? '' : ` · ${absentTexts[member.role] ?? 'not in sync'}`}
        </p>
      )}
      {!isGone && <Progress member={member} />}
      {!isGone && <Kept member={member} />}
      {role === 'primary' && space.primary === member.node
        && <Lease space={space} grantMs={grantMs} />}
    </li>
  )
}

/** From the live charts, since a status comes only twice a second. */
function roleOf(space: ClusterSpace, member: ClusterMember): string {
  // Its chart is that of a replica.
  if (member.role === 'learner' || member.role === 'removed') return member.role
  const actor = state.value.nodes.get(member.node)?.actors.get(`space.${space.id}`)
  const [top = member.role, inner] = actor === undefined || actor.exit !== null
    ? [member.role]
    : stateText(actor.state).split('.')
  // Its successor may already be the primary.
  const role = inner === 'handingOver' ? inner : top
  if (role !== 'replica') return role
  const lag = state.value.nodes.get(space.primary ?? '')?.actors
    .get(`space.${space.id}.lag.${member.node}`)
  return lag !== undefined && stateText(lag.state).startsWith('lagging') ? 'lagging' : 'replica'
}

/** The install of a member, or the rebuild of its store after a start. */
function Progress({ member: { install, rebuilding } }: { readonly member: ClusterMember }) {
  if (install)
    return <Bar name="Install" share={installShare(install)} text={installText(install)} />
  if (!rebuilding) return null
  const { done, total } = rebuilding
  return <Bar name="Rebuild" share={done / Math.max(1, total)} text={rebuildText(rebuilding)} />
}

/** What of the log can still be read. */
function Kept({ member: { firstSequence, retain } }: { readonly member: ClusterMember }) {
  const isCut = typeof firstSequence === 'number' && firstSequence > 1
  if (!isCut && !retain) return null
  return (
    <p class="facts" data-kept>
      {isCut ? `entries from ${countText(firstSequence)} on` : 'all entries'}
      {retain ? ` · ${retainText(retain)}` : ''}
    </p>
  )
}

interface BarProps {
  readonly name: string
  /** Null: not known. */
  readonly share: number | null
  readonly text: string
}

function Bar({ name, share, text }: BarProps) {
  const percent = share === null ? null : Math.round(share * 100)
  return (
    <div class="progress" data-progress={name.toLowerCase()}>
      <div role="progressbar" aria-label={name} aria-valuemin={0} aria-valuemax={100}
        aria-valuenow={percent ?? undefined} aria-valuetext={text}
      >
        <i style={{ width: `${percent ?? 0}%` }} />
      </div>
      <p class="facts">{text}</p>
    </div>
  )
}

function Lease({ space, grantMs }: { readonly space: ClusterSpace; readonly grantMs: number }) {
  const leftMs = space.leaseLeftMs
  if (leftMs === null || leftMs === undefined) return null
  const share = Math.max(0, Math.min(1, leftMs / grantMs))
  return (
    <div class="lease">
      <span>lease</span>
      <div role="meter" aria-label="Lease remaining" aria-valuemin={0} aria-valuemax={grantMs}
        aria-valuenow={Math.round(leftMs)} aria-valuetext={msText(leftMs)}
      >
        <i class={share < 0.25 ? 'short' : ''} style={{ width: `${share * 100}%` }} />
      </div>
      <span class="number">{msText(leftMs)}</span>
    </div>
  )
}

function SpaceTable({ spaces }: { readonly spaces: readonly ClusterSpace[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Space</th>
          <th scope="col">Primary</th>
          <th scope="col">Epoch</th>
          <th scope="col">In sync</th>
          <th scope="col" class="number">Committed</th>
          <th scope="col" class="number">Safe</th>
          <th scope="col">Loss window</th>
          <th scope="col">Last failover</th>
        </tr>
      </thead>
      <tbody>
        {spaces.slice(0, 100).map((space) => (
          <tr key={space.id} data-space-row={space.id}>
            <th scope="row">{space.id}</th>
            <td>{space.primary ?? <span class="bad-text">none</span>}</td>
            <td>{space.epoch}</td>
            <td>{space.inSync.join(', ')}</td>
            <td class="number">{countText(space.commitSequence)}</td>
            <td class="number">{countText(space.safeSequence)}</td>
            <td data-loss>
              {lossText(space)}
              {space.throttled && (
                <>
                  <span class="badge lagging">answers delayed</span>
                </>
              )}
            </td>
            <td data-failover>{failoverText(space.id)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** `20:05:46 n1 → n2, 0.2 s`. */
function failoverText(space: string): string {
  const report = lastFailover(space, facts(), shownMs.value)
  if (report === null) return '-'
  const { atMs, from, to, ms } = report
  return `${dayClockText(atMs, shownMs.value, 0)} ${from} → ${to}, ${msText(ms)}`
}
