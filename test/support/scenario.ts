/** Wraps uvu: deadlines, cleaning up, and failures that say what the cluster looked like. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite as uvuSuite, type Test } from 'uvu'
import type { Child } from './child.js'
import { Cluster, type AnyCluster, type BrokerHandle, type ClusterOptions, type NodeHandle,
  type Parts } from './cluster.js'
import { patience } from './environment.js'
import { within } from './wait.js'
import { LoadWriter, type WriterOptions } from './writer.js'

export type Body = (stage: Stage) => Promise<void>

/** The set-up of one test, put away at its end in reverse order. */
export class Stage {
  readonly #clusters: AnyCluster[] = []
  readonly #writers: LoadWriter[] = []
  readonly #children: Child[] = []
  readonly #kept = new Map<AnyCluster, string>()
  readonly #disposals: (() => Promise<void> | void)[] = []

  constructor(readonly name: string) {}

  async cluster(options: Omit<ClusterOptions, 'label'> = {}): Promise<Cluster> {
    return this.#keep(await Cluster.start({ ...options, label: this.#label }))
  }

  /** A cluster of other parts than one nats-server and processes of this machine. */
  async clusterOf<B extends BrokerHandle, N extends NodeHandle>(
    parts: Parts<B, N>,
    options: Omit<ClusterOptions, 'label'> = {},
  ): Promise<Cluster<B, N>> {
    return this.#keep(await Cluster.of(parts, { ...options, label: this.#label }))
  }

  get #label(): string {
    return this.name.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 24)
  }

  #keep<C extends AnyCluster>(cluster: C): C {
    this.#clusters.push(cluster)
    this.onEnd(() => cluster.dispose())
    return cluster
  }

  /** At the cluster's broker, or at the `url` given. */
  async writer(cluster: AnyCluster, options: Partial<WriterOptions> = {}): Promise<LoadWriter> {
    const writer = await LoadWriter.start({ url: cluster.broker.url, ...options })
    this.#writers.push(writer)
    this.onEnd(() => writer.close())
    return writer
  }

  /** A process of the test's own: killed at the end, its log shown on failure. */
  child(child: Child): Child {
    this.#children.push(child)
    this.onEnd(() => child.kill())
    return child
  }

  onEnd(dispose: () => Promise<void> | void): void {
    this.#disposals.push(dispose)
  }

  /**
   * Adds to the failure what is known, and keeps the logs. It goes below the stack, so that the
   * message, what was expected and where come first.
   */
  async explain(error: unknown): Promise<Error> {
    const failure = error instanceof Error ? error : new Error(String(error))
    const frames = (failure.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
    let text = ''
    for (const writer of this.#writers) text += `\n--- writer\n${writer.history.summary()}`
    for (const child of this.#children) {
      text += `\n--- last lines of ${child.options.label}\n${child.logTail(40)}`
    }
    for (const [n, cluster] of this.#clusters.entries()) {
      text += `\n${await within(10, 'diagnosis', cluster.diagnosis()).catch(String)}`
      text += `\n--- all logs: ${this.#keepLogs(cluster, n)}`
    }
    failure.stack = `${failure.name}\n${frames.join('\n')}${text}`
    return failure
  }

  #keepLogs(cluster: AnyCluster, n: number): string {
    try {
      const prefix = join(tmpdir(), `engram-failed-${cluster.options.label}-${n}-`)
      const kept = this.#kept.get(cluster) ?? mkdtempSync(prefix)
      this.#kept.set(cluster, kept)
      cluster.keepLogs(kept)
      return kept
    } catch (reason) {
      return `not kept: ${String(reason)}`
    }
  }

  async dispose(): Promise<void> {
    for (const dispose of this.#disposals.toReversed()) {
      try {
        await within(20, `cleaning up after "${this.name}"`, Promise.resolve(dispose()))
      } catch (error) {
        console.error(`cleaning up after "${this.name}":`, error)
      }
    }
  }
}

/** A suite whose file ends for certain: what still hangs after that long is cut off, failing. */
export function suite(name: string, seconds = 240): Test {
  setTimeout(() => {
    console.error(`${name}: not done after ${seconds * patience} s, giving up`)
    process.exit(1)
  }, seconds * patience * 1000).unref()
  return uvuSuite(name)
}

/** One test with a stage of its own. */
export function scenario(tests: Test, name: string, body: Body, seconds = 90): void {
  tests(name, async () => {
    const stage = new Stage(name)
    const startedAt = performance.now()
    try {
      await within(seconds, `"${name}"`, body(stage))
    } catch (error) {
      throw await stage.explain(error)
    } finally {
      await stage.dispose()
      note(`${name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
    }
  })
}

/** A test that cannot run here; test/run.ts shows the line. */
export function skipped(tests: Test, name: string, reason: string): void {
  console.log(`SKIP  ${name}: ${reason}`)
  tests.skip(name)
}

/** Tests that share one stage and what `setUp` makes; the first failure does not end the rest. */
export function shared<T>(
  tests: Test,
  name: string,
  setUp: (stage: Stage) => Promise<T>,
): (title: string, body: (context: T, stage: Stage) => Promise<void>, seconds?: number) => void {
  const stage = new Stage(name)
  let context: { value: T } | null = null
  let failure: unknown = null
  tests.before(async () => {
    try {
      context = { value: await within(60, `setting up ${name}`, setUp(stage)) }
    } catch (error) {
      failure = error
    }
  })
  tests.after(() => stage.dispose())
  return (title, body, seconds = 30) => {
    tests(title, async () => {
      if (!context) throw failure
      try {
        await within(seconds, `"${title}"`, body(context.value, stage))
      } catch (error) {
        throw await stage.explain(error)
      }
    })
  }
}

/** For people who read the output: measured times, counts. */
export function note(text: string): void {
  process.stdout.write(`    ${text}\n`)
}
