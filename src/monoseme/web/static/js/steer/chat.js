// A conversation in each arm: the same turns of the reader, and the answers that each arm gave.

export class Chat {
  constructor() {
    this.rounds = [];
  }

  /** What has been said and answered; a turn that was broken off is no part of it. */
  get whole() {
    return this.rounds.filter(({ board }) => board.writing.isWhole);
  }

  /** What the server is to go on with: each arm's own history, then the new turn. */
  words(system, text) {
    const turns = (arm) => [...this.whole.flatMap((round) => [said("user", round.text), said("assistant", answerOf(round, arm))]), said("user", text)];
    return { chat: { system, turns: turns("default"), steered_turns: turns("steered") } };
  }

  /** Puts a turn at the end, in place of one that was broken off. */
  add(round) {
    this.rounds = [...this.whole, round];
  }

  /** Removes the last turn and gives its text back. */
  takeBack() {
    return this.rounds.pop()?.text ?? "";
  }
}

/** An arm that was not written in a round takes over what the other one said. */
function answerOf({ board }, arm) {
  const panes = [...board.writing.panes.values()];
  return (panes.find((pane) => pane.arm === arm) ?? panes[0]).text.trim();
}

function said(role, content) {
  return { role, content };
}
