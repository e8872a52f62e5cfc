/** The stream of frames from the page's server. Reconnects without limit. */
import type { Frame } from '../protocol.js'

export interface StreamListener {
  readonly onOpen: () => void
  readonly onFrame: (frame: Frame, length: number) => void
  /** @param retryMs until the next attempt */
  readonly onLost: (retryMs: number) => void
}

const retryMinMs = 500
const retryMaxMs = 5_000
/** A connection that is silent for longer is dead, since the server sends at least each second. */
const silenceMaxMs = 15_000

/** @returns a function that ends it */
export function openStream(address: string, listener: StreamListener): () => void {
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | null = null
  let retryMs = retryMinMs
  let heardMs = performance.now()

  const lose = (): void => {
    source?.close()
    source = null
    if (timer !== null) return
    listener.onLost(retryMs)
    timer = setTimeout(dial, retryMs)
    retryMs = Math.min(retryMs * 2, retryMaxMs)
  }
  const dial = (): void => {
    timer = null
    heardMs = performance.now()
    source = new EventSource(address)
    source.addEventListener('frame', (event: MessageEvent<string>) => {
      heardMs = performance.now()
      retryMs = retryMinMs
      let frame: Frame
      try {
        frame = JSON.parse(event.data) as Frame
      } catch {
        return
      }
      listener.onFrame(frame, event.data.length)
    })
    source.addEventListener('open', () => listener.onOpen())
    source.addEventListener('error', lose)
  }
  const watch = setInterval(() => {
    if (source !== null && performance.now() - heardMs > silenceMaxMs) lose()
  }, 1_000)
  dial()
  return () => {
    clearInterval(watch)
    if (timer !== null) clearTimeout(timer)
    source?.close()
  }
}
