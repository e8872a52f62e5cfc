/** Private nats-servers for benchmarks: one alone, or three as a JetStream cluster. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findNatsServer } from '../runtime/cluster/natsServer.js'
import { freePort, Proc, temporaryDirectory } from './processes.js'

export interface Broker {
  readonly name: string
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** A plain server, without JetStream. */
export async function startBroker(name: string): Promise<Broker> {
  return await startServer(name, await freePort(), [])
}

/** Three servers with routes to one another and JetStream on files. */
export async function startBrokerCluster(): Promise<Broker[]> {
  const names = ['js1', 'js2', 'js3']
  const ports: { client: number; route: number }[] = []
  for (const _ of names) ports.push({ client: await freePort(), route: await freePort() })
  const routes = ports.map((p) => `nats-route://127.0.0.1:${p.route}`).join(', ')
  return await Promise.all(names.map((name, n) =>
    startServer(name, ports[n]?.client ?? 0, [
      `jetstream { store_dir: "${temporaryDirectory(name)}" }`,
      `cluster { name: bench, listen: "127.0.0.1:${ports[n]?.route}", routes: [${routes}] }`,
    ])
  ))
}

async function startServer(name: string, port: number, more: string[]): Promise<Broker> {
  const file = join(temporaryDirectory(name), 'nats.conf')
  writeFileSync(file, [`server_name: ${name}`, `listen: "127.0.0.1:${port}"`, ...more].join('\n'))
  const label = `nats-server ${name}`
  const child = new Proc(findNatsServer(), ['-c', file], { label, graceMs: 3000 })
  for (let tries = 0; !await listens(port); tries++) {
    if (child.hasExited || tries > 200) {
      throw new Error(`nats-server ${name} did not start\n${child.errors()}`)
    }
    await delay(25)
  }
  return { name, url: `nats://127.0.0.1:${port}`, pid: child.pid, stop: () => child.stop() }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port })
    const end = (result: boolean): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(1000, () => end(false))
    socket.once('error', () => end(false))
    socket.once('data', (data) => end(data.toString().startsWith('INFO ')))
  })
}

export function brokerVersion(): string {
  try {
    return execFileSync(findNatsServer(), ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return 'nats-server: not found on PATH'
  }
}
