// One line per step. On a terminal the line is live; anywhere else it is plain text, written once.

const REFRESH_MS = 250;

export class Progress {
  #total;
  #done = 0;
  #out;

  /** @param {number} total number of steps @param {NodeJS.WriteStream} [out] */
  constructor(total, out = process.stdout) {
    this.#total = total;
    this.#out = out;
  }

  /**
   * Runs one step. The action gets `note`, which says what is being waited for, and returns what was found or done.
   * @param {string} title
   * @param {(note: (text: string) => void) => string | Promise<string>} action
   */
  async step(title, action) {
    const head = `[${++this.#done}/${this.#total}] ${title} ... `;
    const line = this.#out.isTTY ? new LiveLine(this.#out, head) : new PlainLine(this.#out, head);
    try {
      line.end(await action((text) => line.note(text)));
    } catch (error) {
      line.end("failed");
      throw error;
    }
  }
}

class PlainLine {
  #out;
  #start = performance.now();

  constructor(out, head) {
    this.#out = out;
    out.write(head);
  }

  note(text) {
    this.#out.write(`${text} ... `);
  }

  end(result) {
    this.#out.write(`${result} (${seconds(this.#start)})\n`);
  }
}

class LiveLine {
  #out;
  #head;
  #note = "";
  #start = performance.now();
  #timer;

  constructor(out, head) {
    this.#out = out;
    this.#head = head;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), REFRESH_MS);
  }

  note(text) {
    this.#note = `${text} `;
    this.#draw();
  }

  end(result) {
    clearInterval(this.#timer);
    this.#out.write(`\r\x1b[2K${this.#head}${result} (${seconds(this.#start)})\n`);
  }

  #draw() {
    // A line that wraps cannot be drawn over again.
    const text = `${this.#head}${this.#note}${seconds(this.#start)}`.slice(0, Math.max(20, this.#out.columns - 1));
    this.#out.write(`\r\x1b[2K${text}`);
  }
}

/** @param {number} start a time of performance.now() */
export function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
