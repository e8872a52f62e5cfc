/** Orders of the playground. */
import type { Order, OrderAnswer } from '../protocol.js'

/** Never rejects: what went wrong is in the answer. */
export async function give(order: Order): Promise<OrderAnswer> {
  const token = new URLSearchParams(location.search).get('token')
  const query = token === null ? '' : `?token=${encodeURIComponent(token)}`
  try {
    const response = await fetch(`./api/orders${query}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(order),
    })
    const text = await response.text()
    if (response.headers.get('Content-Type')?.includes('json')) return JSON.parse(text) as OrderAnswer
    return { ok: false, message: text || `the server answered ${response.status}` }
  } catch (error) {
    return { ok: false, message: `the server of this page was not reached: ${(error as Error).message}` }
  }
}
