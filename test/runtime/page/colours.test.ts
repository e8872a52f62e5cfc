/** Colours of the legend and of the filters, as the style sheets have them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { messageKinds } from '../../../runtime/page/model/sequence.js'
import { root } from '../../support/environment.js'

const test = suite('page colours')

const styles = ['base.css', 'views.css'].map((name) =>
  readFileSync(join(root, 'runtime', 'page', 'web', 'styles', name), 'utf8')
).join('')

/** What the last rule for that selector declares. */
function declared(selector: string, property: string): string | undefined {
  const rules = [...styles.matchAll(/([^{}]+)\{([^{}]*)\}/g)]
  const of = rules.filter(([, names = '']) =>
    names.split(',').some((name) => name.replaceAll(/\/\*.*?\*\//g, '').trim() === selector)
  )
  const values = of.flatMap(([, , body = '']) =>
    [...body.matchAll(/([\w-]+):\s*([^;]+)/g)].flatMap(([, name, value]) =>
      name === property ? [value!.trim()] : []
    )
  )
  return values.at(-1)
}

/** Values of a colour in the light theme and in both dark ones. */
function themes(variable: string): string[] {
  const [, name = ''] = /^var\((--[\w-]+)\)$/.exec(variable) ?? []
  return [...styles.matchAll(new RegExp(`${name}:\\s*(#[0-9a-f]+)`, 'g'))].map(([, hex]) => hex!)
}

test('no two kinds of messages have the same colour, in any theme', () => {
  const colours = messageKinds.map((kind) => themes(declared(`.dot.${kind}`, 'background') ?? ''))
  for (const theme of [0, 1, 2]) {
    const shown = colours.map((of, index) => of[theme] ?? `none of ${messageKinds[index]}`)
    assert.equal([...new Set(shown)], shown)
    assert.ok(shown.every((colour) => colour.startsWith('#')), shown.join())
  }
})

test('the line of a message has the colour of its dot', () => {
  for (const kind of messageKinds.filter((one) => one !== 'change')) {
    const line = declared(`.message.${kind} line`, 'stroke') ?? declared('.message line', 'stroke')
    assert.is(line, declared(`.dot.${kind}`, 'background'), kind)
  }
})

test.run()
