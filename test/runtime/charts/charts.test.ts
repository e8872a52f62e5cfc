/** Statecharts as JSON, Mermaid and SCXML, and the pages of docs/statecharts. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createMachine, setup } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { catalogue } from '../../../runtime/charts/catalogue.js'
import { chartOf, flatten } from '../../../runtime/charts/chart.js'
import { configOf } from '../../../runtime/charts/config.js'
import { chartPages } from '../../../runtime/charts/markdown.js'
import { mermaidOf } from '../../../runtime/charts/mermaid.js'
import { scxmlOf } from '../../../runtime/charts/scxml.js'
import { runHere } from '../../support/cli.js'
import { root } from '../../support/environment.js'

const charts = suite('charts')

/** Nested, delayed, guarded, final, with an invoked actor and an action of its own parameters. */
const lamp = setup({
  actors: { bulb: {} as AnyStateMachine },
  guards: { isCharged: () => true },
  actions: { say: (_self, _params: { what: string }) => undefined },
  delays: { fade: 10 },
}).createMachine({
  id: 'lamp',
  initial: 'off',
  on: { broken: '.dead', noticed: { actions: { type: 'say', params: { what: 'it shines' } } } },
  states: {
    off: { on: { pressed: { guard: 'isCharged', target: 'on' } } },
    on: {
      initial: 'bright',
      invoke: { id: 'light', src: 'bulb', onError: 'dead', onDone: 'off' },
      on: { dimmed: '.faint', pressed: { target: 'on', reenter: true } },
      states: {
        bright: { after: { fade: 'faint' } },
        faint: { after: { 500: '#lamp.off' }, always: { guard: 'isCharged', target: 'bright' } },
      },
    },
    dead: { type: 'final' },
  },
})

charts('a chart holds what its machine defines', () => {
  const chart = chartOf(lamp)
  const [, off, on, bright, faint, dead] = flatten(chart.root)
  assert.equal([chart.id, chart.root.kind, chart.root.initial], ['lamp', 'compound', 'off'])
  assert.equal(chart.root.transitions.map(({ name, targets, actions }) => [name, targets, actions]),
    [['broken', ['dead'], []], ['noticed', [], ['say(what: it shines)']]])
  assert.equal(off?.transitions, [{
    trigger: 'event',
    name: 'pressed',
    guard: 'isCharged',
    targets: ['on'],
    reenter: false,
    actions: [],
  }])
  assert.equal(on?.invokes, [{ id: 'light', src: 'bulb' }])
  assert.equal(
    on?.transitions.map((
      { trigger, name, targets, reenter },
    ) => [trigger, name, targets[0], reenter]),
    [
      ['event', 'dimmed', 'on.faint', false],
      ['event', 'pressed', 'on', true],
      ['done', 'light', 'off', false],
      ['error', 'light', 'dead', false],
    ],
  )
  // The timers that XState adds on entry and exit are not actions of the chart.
  assert.equal([bright?.entry, bright?.exit, bright?.path], [[], [], 'on.bright'])
  assert.equal(bright?.transitions[0]?.trigger, 'after')
  assert.equal(bright?.transitions[0]?.name, 'fade')
  assert.equal(faint?.transitions.map(({ trigger, name }) => [trigger, name]), [['always', ''], [
    'after',
    '500 ms',
  ]])
  assert.is(dead?.kind, 'final')
})

charts('Mermaid: edges stand between neighbours, and labels name the deeper ends', () => {
  assert.equal(mermaidOf(chartOf(lamp)).split('\n'), [
    'stateDiagram-v2',
    '    state "any" as lamp_any_',
    '    state "off" as lamp_off',
    '    state "on (bulb)" as lamp_on {',
    '        state "any" as lamp_on_any_',
    '        state "bright" as lamp_on_bright',
    '        state "faint" as lamp_on_faint',
    '        [*] --> lamp_on_bright',
    '        lamp_on_any_ --> lamp_on_faint : dimmed',
    '        lamp_on_bright --> lamp_on_faint : after fade',
    '        lamp_on_faint --> lamp_on_bright : always [isCharged]',
    '    }',
    '    state "dead" as lamp_dead',
    '    [*] --> lamp_off',
    '    lamp_any_ --> lamp_dead : broken',
    '    lamp_off --> lamp_on : pressed [isCharged]',
    '    lamp_on --> lamp_on : pressed',
    '    lamp_on --> lamp_off : light is done',
    '    lamp_on --> lamp_dead : light has failed',
    '    lamp_on --> lamp_off : (faint) after 500 ms',
    '    lamp_dead --> [*]',
  ])
})

charts('Mermaid: regions are parted by --; a transition into a region starts there', () => {
  const machine = createMachine({
    id: 'door',
    initial: 'shut',
    states: {
      shut: { on: { alarm: 'open.lock.forced' } },
      open: {
        type: 'parallel',
        on: { alarm: '.lock.forced' },
        states: {
          lock: { initial: 'free', states: { free: {}, forced: { on: { shut: '#door.shut' } } } },
          light: { initial: 'dark', states: { dark: {} } },
        },
      },
    },
  })
  assert.equal(mermaidOf(chartOf(machine)).split('\n').map((line) => line.trim()), [
    'stateDiagram-v2',
    'state "shut" as door_shut',
    'state "open" as door_open {',
    'state "lock" as door_open_lock {',
    'state "any" as door_open_lock_any_',
    'state "free" as door_open_lock_free',
    'state "forced" as door_open_lock_forced',
    '[*] --> door_open_lock_free',
    'door_open_lock_any_ --> door_open_lock_forced : alarm',
    '}',
    '--',
    'state "light" as door_open_light {',
    'state "dark" as door_open_light_dark',
    '[*] --> door_open_light_dark',
    '}',
    '}',
    '[*] --> door_shut',
    'door_shut --> door_open : alarm to lock.forced',
    'door_open --> door_shut : (lock.forced) shut',
  ])
})

charts('Mermaid: what would end a label or an id is replaced, and ids stay apart', () => {
  const machine = createMachine({
    id: 'odd',
    initial: 'a_b',
    states: { a_b: { on: { 'x:y; "z"': 'a' } }, a: { initial: 'b', states: { b: {} } }, 'c-d': {} },
  })
  const text = mermaidOf(chartOf(machine))
  assert.match(text, 'odd_a__b --> odd_a : x y z')
  assert.match(text, 'state "b" as odd_a_b')
  assert.match(text, 'state "c-d" as odd_c_xd')
})

/** Each line of a diagram is one of the few forms of the documented syntax. */
const forms = [
  /^stateDiagram-v2$/,
  /^--$/,
  /^\}$/,
  /^state "[^"\n]+" as \w+( \{)?$/,
  /^\[\*\] --> \w+$/,
  /^\w+ --> \[\*\]$/,
  /^\w+ --> \w+ : [^:;{}"#<>%\n]+$/,
]

charts('the diagrams of the product: known forms, every state declared once, edges between '
  + 'neighbours', () => {
  for (const { chart } of catalogue()) {
    const scopes: string[][] = [[]]
    const declared: string[] = []
    const edges: { ends: string[]; scope: string[] }[] = []
    for (const line of mermaidOf(chart).split('\n').map((one) => one.trim())) {
      assert.ok(forms.some((form) => form.test(line)), `${chart.id}: ${line}`)
      const [, id, opens] = /^state ".*" as (\w+)( \{)?$/.exec(line) ?? []
      if (id) {
        declared.push(id)
        scopes.at(-1)?.push(id)
      }
      if (opens) scopes.push([])
      if (line === '}') scopes.pop()
      const ends = (/^(\S+) --> (\S+)/.exec(line) ?? []).slice(1).filter((end) => end !== '[*]')
      if (ends.length > 0) edges.push({ ends, scope: scopes.at(-1) ?? [] })
    }
    assert.is(scopes.length, 1, chart.id)
    assert.is(new Set(declared).size, declared.length, chart.id)
    for (const { ends, scope } of edges) {
      for (const end of ends) assert.ok(scope.includes(end), `${chart.id}: ${end} is elsewhere`)
    }
    const states = declared.filter((id) => !id.endsWith('_any_'))
    assert.is(states.length, flatten(chart.root).length - 1, chart.id)
  }
})

charts('SCXML: well-formed, ids unique, every target there', () => {
  for (const { chart } of catalogue()) {
    const text = scxmlOf(chart)
    const open: string[] = []
    for (const [, closes, tag, self] of text.matchAll(/<(\/)?([a-z]+)(?:\s[^<>]*?)?(\/)?>/g)) {
      if (closes) assert.is(open.pop(), tag, chart.id)
      else if (!self) open.push(tag ?? '')
    }
    assert.equal(open, [], chart.id)
    const ids = [...text.matchAll(/<(?:state|parallel|final) id="([^"]+)"/g)].map((m) => m[1])
    assert.is(new Set(ids).size, ids.length, chart.id)
    assert.is(ids.length, flatten(chart.root).length, chart.id)
    for (const [, target] of text.matchAll(/ target="([^"]+)"/g)) assert.ok(ids.includes(target))
  }
  const text = scxmlOf(chartOf(lamp))
  assert.match(text, '<send id="after.fade.on.bright" event="after.fade.on.bright" delay="fade"/>')
  assert.match(text, '<transition event="dimmed" target="on.faint" type="internal"/>')
  assert.match(text, '<transition event="pressed" target="on"/>')
  assert.match(text, '<transition event="error.platform.light" target="dead"/>')
})

charts('every machine of machines/ is in the catalogue', () => {
  const files = readdirSync(join(root, 'machines')).filter((file) => file.endsWith('.ts'))
  const exported = files.flatMap((file) =>
    [...readFileSync(join(root, 'machines', file), 'utf8')
      .matchAll(/^export const (\w+)Machine = /gm)].map((match) => match[1])
  )
  assert.ok(exported.length >= 8)
  assert.equal(catalogue().map(({ chart }) => chart.id).toSorted(), exported.toSorted())
})

charts('docs/statecharts shows the charts as they are (UPDATE_GOLDEN=1 writes them anew)', () => {
  const folder = join(root, 'docs', 'statecharts')
  const pages = chartPages(catalogue())
  assert.is(pages.size, catalogue().length + 1)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of pages) writeFileSync(join(folder, name), text)
  }
  const differing = [...pages].filter(([name, text]) =>
    !existsSync(join(folder, name))
    || readFileSync(join(folder, name), 'utf8') !== text
  ).map(([name]) => name)
  assert.equal(differing, [], 'run it with UPDATE_GOLDEN=1, and read what has changed')
  assert.equal(readdirSync(folder).toSorted(), [...pages.keys()].toSorted())
})

/** The machine that `createMachine` makes of the configuration, written and read again. */
function again(machine: AnyStateMachine): AnyStateMachine {
  return createMachine(JSON.parse(JSON.stringify(configOf(machine))) as never)
}

charts('createMachine makes the same graph of an exported configuration', () => {
  const player = createMachine({
    id: 'player',
    type: 'parallel',
    entry: [{ type: 'greet', params: { loudly: true } }],
    states: {
      song: {
        initial: 'off',
        on: { resume: '.last', 'track.*': { target: '#player.song', reenter: true } },
        states: {
          off: { always: [{ guard: { type: 'isLoud', params: { level: 3 } }, target: 'on' }] },
          on: { exit: 'hush', after: { 50: { target: 'off', actions: ['note', 'count'] } } },
          last: { type: 'history', history: 'deep', target: 'on' },
          over: { type: 'final' },
        },
        onDone: { actions: 'rewind' },
      },
      light: { on: { 'xstate.done.actor.elsewhere': { actions: 'note' } } },
    },
  })
  for (const machine of [lamp, player, ...catalogue().map((entry) => entry.machine)]) {
    assert.equal(chartOf(again(machine)), chartOf(machine), machine.id)
  }
  assert.equal(configOf(player).states?.['song']?.states?.['last'], { type: 'history',
    history: 'deep', target: 'on' })
})

async function engram(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return await runHere(args, { cwd: root, env: {} })
}

charts('engram machines: list and export, without a cluster', async () => {
  const { machines } = JSON.parse((await engram('machines', 'list', '--json')).out)
  assert.equal(machines[0], { id: 'node', states: 16, about: machines[0].about })
  assert.match((await engram('machines', 'list')).out, /^failureDetector +\d+ {2}how a node/m)
  const json = JSON.parse((await engram('machines', 'export', 'lagMonitor', 'stream')).out)
  assert.equal(json.machines.map((one: { id: string }) => one.id), ['lagMonitor', 'stream'])
  assert.is(json.machines[0].root.states[0].transitions[0].guard, 'exceedsBytes')
  const all = (await engram('machines', 'export', '--format', 'mermaid')).out
  assert.is(all.split('stateDiagram-v2').length - 1, catalogue().length)
  assert.match((await engram('machines', 'export', 'node', '--format', 'scxml-like')).out,
    /^<\?xml/)
  const config = JSON.parse((await engram('machines', 'export', 'node', '--format', 'xstate')).out)
  assert.equal([config.id, config.states.connecting.type], ['node', undefined])
  const configs = JSON.parse((await engram('machines', 'export', '--format', 'xstate')).out)
  assert.equal(configs.map(({ id }: { id: string }) => id),
    catalogue().map(({ machine }) => machine.id))
  const unknown = await engram('machines', 'export', 'nodes')
  assert.equal([unknown.code, unknown.out], [2, ''])
  assert.match(unknown.err, 'failureDetector')
  assert.is((await engram('machines', 'export', '--format', 'svg')).code, 2)
})

charts.run()
