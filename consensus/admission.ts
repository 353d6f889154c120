/** What decides whether the leader has a place for one more learner. */
export interface AdmissionFacts {
  /** Learners of the configuration, whether they answer or not. */
  readonly learners: number
  /** Learners that answer: who can become a voter. */
  readonly livingLearners: number
  readonly livingVoters: number
  /** How many voters the cluster aims at. */
  readonly votersTarget: number
  /** How many learners are kept. */
  readonly learnersMax: number
}

/**
 * True if a node that asks to join becomes a learner; else it becomes a client. Above the bound only for want of voters.
 * Example: three voters are wanted and no learners. The second and the third node come in all the same, and so does a
 * client when one of the three dies.
 */
export function hasPlaceForLearner(facts: AdmissionFacts): boolean {
  const { learners, livingLearners, livingVoters, votersTarget, learnersMax } = facts
  return learners < learnersMax || livingLearners < votersTarget - livingVoters
}
