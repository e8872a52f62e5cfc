/** A promotion, step by step: when, who, what, and why. */
import type { Promotion } from '../../model/promotions.js'
import { answersUnsaid, surveyText } from '../../model/promotionStep.js'
import type { PromotionStep } from '../../model/promotionStep.js'
import { clockText, msText } from '../../model/words.js'
import { hrefOf } from '../route.js'
import { shownMs } from '../store.js'

interface StepsProps {
  readonly promotion: Promotion
  readonly onStep: (atMs: number) => void
}

const candidateTexts: Readonly<Record<string, string>> = {
  stoodDown: 'stepped back',
  standingBy: 'let another go first',
}

export function PromotionSteps({ promotion, onStep }: StepsProps) {
  const { steps, beginMs, candidates, winner, survey } = promotion
  return (
    <div class="steps">
      {winner !== null && (
        <p class="why">
          <b>Why {winner}?</b> {surveyText(survey, winner)}{' '}
          <span class="muted">
            The latest position goes first. Among equals the former primary goes first, then the
            lower name.
          </span>
        </p>
      )}
      <p class="candidates">
        Candidates:{' '}
        {candidates.map(({ node, state, reason }) => (
          <span key={node} class={`badge ${node === winner ? 'primary' : 'replica'}`}
            title={reason ?? ''}
          >
            {node} {candidateTexts[state] ?? state}
          </span>
        ))}
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Steps">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">After</th>
              <th scope="col">Node</th>
              <th scope="col">Step</th>
              <th scope="col">State</th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            {steps.map((step, index) => (
              <StepRow key={index} step={step} beginMs={beginMs} onStep={onStep}
                isWinner={step.node === winner} />
            ))}
          </tbody>
        </table>
      </div>
    </div>
  )
}

function StepRow({ step, beginMs, onStep, isWinner }: {
  readonly step: PromotionStep
  readonly beginMs: number
  readonly isWinner: boolean
  readonly onStep: (atMs: number) => void
}) {
  const { atMs, node, actor, what, state, reason, answers } = step
  const unsaid = answersUnsaid(step)
  const kind = actor.startsWith('detector.') ? 'suspicion' : isWinner ? 'winner' : ''
  return (
    <tr class={`${kind} ${atMs > shownMs.value ? 'later' : ''}`} data-step={what} data-node={node}>
      <td class="number">
        <button type="button" class="link" title={clockText(atMs)} onClick={() =>
          onStep(atMs)}
        >
          +{msText(atMs - beginMs)}
        </button>
      </td>
      <td>{node}</td>
      <td>{what}</td>
      <td>
        <a href={hrefOf('charts', { node, actor, at: String(Math.round(atMs)) })} title={actor}>
          {state}
        </a>
      </td>
      <td>
        {reason ?? ''}
        {what === 'surveyed' && answers.length === 0 && <div class="muted">No member answered</div>}
        {unsaid.length > 0 && <div class="muted">Answered: {unsaid.join('; ')}</div>}
      </td>
    </tr>
  )
}
