import { hash } from "node:crypto";
import type { Opening } from "../../custody/register.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { leafHash } from "../../tlog/hashes.ts";
import type { LeafLine } from "../log/format.ts";

type Page = { readonly leaves: readonly LeafLine[]; readonly next: number };

/** A client's leaves as far as they were read: each follows on the one before it, so none was withheld between them. */
export class ClientLeaves {
  readonly client: string;
  readonly openings: Opening[] = [];
  readonly #gateway: GatewayClient;
  #next = 0;
  #previous: string | null = null;

  constructor(gateway: GatewayClient, client: string) {
    this.#gateway = gateway;
    this.client = client;
  }

  /** @throws {GatewayError} `log-incomplete` */
  async readOn(): Promise<void> {
    const path = `/v1/clients/${this.client}/openings`;
    for (let page: Page; (page = await this.#gateway.get<Page>(`${path}?from=${this.#next}`)).leaves.length > 0;) {
      for (const leaf of page.leaves) this.#take(leaf);
      this.#next = page.next;
    }
  }

  #take(leaf: LeafLine): void {
    if ("commitment" in leaf || leaf.client !== this.client) return;
    const { index, at, salt, opening } = leaf;
    const read = JSON.parse(opening) as Opening & { number: number; previous: string | null };
    if (read.number !== this.openings.length || read.previous !== this.#previous || read.index !== index) {
      throw new GatewayError(
        "log-incomplete",
        `expected leaf number ${this.openings.length} of client \`${this.client}\`, found number ${read.number} in leaf ${index}`,
        { hint: "`portcullis log verify` says what the log lacks" },
      );
    }
    const commitment = hash("sha256", Buffer.concat([Buffer.from(salt, "base64"), Buffer.from(opening)]), "base64");
    const entry = `portcullis/leaf/v1\n${index}\n${at}\n${commitment}\n`;
    this.#previous = Buffer.from(leafHash(Buffer.from(entry))).toString("hex");
    this.openings.push(read);
  }
}
