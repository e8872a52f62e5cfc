// The longer content wins. Two members may each have taken a write of the same node, one of them
// in an epoch that was over already: when the fork is reconciled, this decides between the two.
// It must be pure: the same two writes give the same result on whichever node is primary.
import { defaultRule } from 'engram-replication'

const length = ({ operation }) =>
  operation.type === 'StoreNode' ? operation.node.content?.length ?? 0 : 0

export default (standing, incoming) => {
  const order = length(standing) - length(incoming)
  // Where it knows no difference, the default does: an order without ties.
  if (order === 0) return defaultRule(standing, incoming)
  return order > 0 ? 'standing' : 'incoming'
}
