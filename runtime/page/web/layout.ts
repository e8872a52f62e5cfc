/** Lays graphs out with elkjs in a worker, since it takes tens of milliseconds. */
import type { GraphNode } from '../model/chartGraph.js'

type Elk = { layout(graph: unknown): Promise<unknown> }
let loading: Promise<Elk> | null = null

async function load(): Promise<Elk> {
  const [{ default: Elk }, { default: worker }] = await Promise.all([
    import('elkjs/lib/elk-api.js'),
    import('elkjs/lib/elk-worker.min.js?url'),
  ])
  return new Elk({ workerFactory: () => new Worker(worker) })
}

/**
 * Returns the graph with positions. The library is loaded at the first call.
 * @throws Error if it cannot be loaded or refuses the graph
 */
export async function layOut(graph: GraphNode): Promise<GraphNode> {
  loading ??= load()
  return await (await loading).layout(graph) as GraphNode
}
