/** Announcements for screen readers: connection and promotions. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { at, fileName, headlines, link, promotions, state } from './store.js'

export function Announcements() {
  const [text, setText] = useState('')
  const announced = useRef(new Set<string>())
  const isLive = at.value === null && fileName.value === null
  const connection = link.value.kind
  const broker = state.value.broker?.state
  const latest = promotions.value.at(-1)
  const down = headlines.value.find((one) => one.state === 'down' || one.state === 'blocked')?.title
  const won = latest !== undefined && latest.winner !== null
    ? `${latest.winner} is the new primary of ${latest.space} in epoch ${latest.epoch}`
    : null
  useEffect(() => {
    if (connection === 'lost') setText('Disconnected from the server of this page')
    else if (connection === 'connected') setText('Connected')
  }, [connection])
  useEffect(() => {
    if (broker === 'disconnected') setText('The broker does not answer')
  }, [broker])
  useEffect(() => {
    if (isLive && down !== undefined) setText(down)
  }, [down, isLive])
  useEffect(() => {
    if (!isLive || latest === undefined || won === null || announced.current.has(latest.id)) return
    announced.current.add(latest.id)
    setText(won)
  }, [won, isLive, latest?.id])
  return <p class="sr" role="status" aria-live="polite" data-announcement>{text}</p>
}
