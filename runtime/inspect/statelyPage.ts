/**
 * The page that shows Stately's inspector in a frame and passes the WebSocket's events to it. It
 * does what `createInspectorServer` of `@statelyai/inspect` does, but posts only to the inspector's
 * origin, connects when the inspector is ready, and reconnects by itself.
 */
export function statelyPage(inspectorUrl: string, nonce: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Engram: statecharts of the cluster</title>
<style nonce="${nonce}">
  html, body { height: 100%; margin: 0; font: 14px system-ui, sans-serif; }
  iframe { width: 100%; height: 100%; border: 0; }
  #state { position: fixed; right: 8px; bottom: 8px; padding: 2px 8px; background: #fffc; }
</style>
<iframe id="inspector" src="${inspectorUrl}" title="Stately inspector"></iframe>
<div id="state" role="status">waiting for the inspector to load</div>
<script nonce="${nonce}">
  const frame = document.getElementById('inspector')
  const state = document.getElementById('state')
  const origin = new URL(frame.src).origin
  let socket = null
  function connect() {
    socket = new WebSocket('ws://' + location.host)
    socket.onopen = () => { state.textContent = 'live' }
    socket.onmessage = (event) => {
      frame.contentWindow.postMessage(JSON.parse(event.data), origin)
    }
    socket.onclose = () => {
      state.textContent = 'engram inspect has ended; reconnecting'
      setTimeout(connect, 1000)
    }
  }
  addEventListener('message', (event) => {
    const isInspector = event.origin === origin && event.source === frame.contentWindow
    if (!isInspector || event.data?.type !== '@statelyai.connected') return
    if (socket === null) connect()
    else socket.close()
  })
</script>
</html>
`
}

/** Allows the page to load the inspector's frame and the server's own WebSocket only. */
export function contentSecurityPolicy(inspectorUrl: string, port: number, nonce: string): string {
  return [
    `default-src 'none'`,
    `frame-src ${new URL(inspectorUrl).origin}`,
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    `connect-src ws://127.0.0.1:${port} ws://localhost:${port} ws://[::1]:${port}`,
    `base-uri 'none'`,
    `frame-ancestors 'none'`,
  ].join('; ')
}
