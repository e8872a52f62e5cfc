import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'

/**
 * Runs a test file as a process of its own, which kills itself as `order` says; the file finds it in
 * the environment, as JSON. False: the process came to its end.
 * @param url of the file
 */
export async function runsIntoKill(url: string, variable: string, order: object): Promise<boolean> {
  const child = spawn(process.execPath, [fileURLToPath(url)], {
    env: { ...process.env, [variable]: JSON.stringify(order) },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [exit, signal] = await once(child, 'close') as [number | null, string | null]
  assert.ok(signal === 'SIGKILL' || exit === 0, `exit ${exit}`)
  return signal === 'SIGKILL'
}
