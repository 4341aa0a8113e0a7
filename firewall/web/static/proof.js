// Checks in the browser that a statement's records are in the signed log: RFC 6962 hashes by WebCrypto, the path
// of RFC 9162 (2.1.3.2), the checkpoint's root, and its Ed25519 signature where the browser knows how. And that
// the page shows what they say: what stands beside a record must open its salted hash, and be what is read here.
"use strict";

{
  const section = document.querySelector("#proof");
  const button = document.querySelector("#verify");
  const said = document.querySelector("#proof-said");

  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const hex = (data) => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const same = (a, b) => hex(a) === hex(b);

  function joined(...parts) {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return whole;
  }
  const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
  const leafHash = (data) => sha256([0], data);
  const nodeHash = (left, right) => sha256([1], left, right);

  // the root that a leaf and its path lead to, or null if the path is not one of this tree
  async function rootOf(leaf, index, size, path) {
    if (!(index >= 0 && index < size)) return null;
    let [fn, sn, hashed] = [BigInt(index), BigInt(size) - 1n, leaf];
    for (const step of path) {
      if (sn === 0n) return null;
      if (fn & 1n || fn === sn) {
        hashed = await nodeHash(step, hashed);
        while (!(fn & 1n) && fn) { fn >>= 1n; sn >>= 1n; }
      } else {
        hashed = await nodeHash(hashed, step);
      }
      fn >>= 1n; sn >>= 1n;
    }
    return sn === 0n ? hashed : null;
  }

  // a C2SP checkpoint: origin, size and root, one line each, then the signatures
  function checkpoint(note) {
    const cut = note.lastIndexOf("\n\n");
    const text = note.slice(0, cut + 1);
    const [origin, size, root] = text.split("\n");
    return { text, origin, size: Number(size), root: bytes(root), signatures: note.slice(cut + 2).split("\n").filter(Boolean) };
  }

  // true, false, or null where the browser has no Ed25519
  async function signedBy(key, head) {
    const [, name, id, encoded] = key.match(/^(.*)\+([0-9a-f]{8})\+(.*)$/);
    const raw = bytes(encoded);
    let publicKey;
    try {
      publicKey = await crypto.subtle.importKey("raw", raw.slice(1), "Ed25519", false, ["verify"]);
    } catch { return null; }
    for (const line of head.signatures) {
      const [, signer, value] = line.match(/^— (\S+) (\S+)$/) ?? [];
      const data = value ? bytes(value) : [];
      if (signer === name && hex(data.slice(0, 4)) === id)
        return crypto.subtle.verify("Ed25519", publicKey, data.slice(4), new TextEncoder().encode(head.text));
    }
    return false;
  }

  const SALT = 16; // bytes, before the values

  // what the record says, with its values as far as they are there; `kept` says how far
  async function opened(proof) {
    const fields = JSON.parse(proof.record);
    if (!fields.sealed) return { fields, kept: "" };
    const [keep, committed] = fields.sealed.split(":");
    if (proof.private === null) return { fields, kept: "its values are erased" };
    const beside = bytes(proof.private);
    if (keep === "digest") return { fields, kept: "its values were never kept" };
    if (!same(await sha256(beside), bytes(committed))) throw new Error("its values are not those that it commits to");
    const values = JSON.parse(new TextDecoder().decode(beside.slice(SALT)));
    return { fields: { ...fields, ...values }, kept: keep === "redacted" ? "its values were redacted before they were kept" : "" };
  }

  // the text that a person reads there; characters that would hide stand as their code points
  function read(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.classList?.contains("odd")) return String.fromCodePoint(parseInt(node.textContent.slice(2), 16));
    return [...node.childNodes].map(read).join("");
  }

  // everything on this page that is said to be of the record
  function compare(record, fields) {
    const places = [...document.querySelectorAll("[data-of]")].filter((place) => place.dataset.of === record);
    for (const place of places) {
      const name = place.dataset.value;
      const here = place.matches("code") ? read(place).replace(/\n$/, "") : read(place);
      if (here !== fields[name]) throw new Error(`this page shows another \`${name}\` than the record has`);
    }
  }

  async function proven(record) {
    const answer = await fetch(section.dataset.proof + encodeURIComponent(record), { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status === 404 ? "no signed head reaches it yet" : "the console does not answer");
    const proof = await answer.json();
    const head = checkpoint(proof.checkpoint);
    if (JSON.parse(proof.record).id !== record) throw new Error("another record was sent");
    const root = await rootOf(await leafHash(new TextEncoder().encode(proof.record)), proof.index, head.size, proof.path.map(bytes));
    if (!root || !same(root, head.root)) throw new Error("its path does not lead to the signed root");
    const signed = await signedBy(section.dataset.key, head);
    if (signed === false) throw new Error("the root is not signed by the log's key");
    const { fields, kept } = await opened(proof);
    compare(record, fields);
    return { head, signed, index: proof.index, steps: proof.path.length, kept };
  }

  function tell(place, word, text) {
    place.dataset[place === said ? "said" : "proven"] = word;
    place.textContent = text;
  }

  async function verify() {
    button.disabled = true;
    tell(said, "", "working…");
    const rows = [...document.querySelectorAll("[data-record]")];
    let [last, wrong] = [null, 0];
    for (const row of rows) {
      const place = row.querySelector("[data-proven]");
      try {
        last = await proven(row.dataset.record);
        tell(place, "yes", `✓ record ${last.index}, ${last.steps} steps to the root, as shown here${last.kept && `; ${last.kept}`}`);
      } catch (error) {
        wrong += 1;
        tell(place, "no", `✗ not proven: ${error.message}`);
      }
    }
    button.disabled = false;
    if (last) facts(last);
    if (wrong) tell(said, "no", `${wrong} of ${rows.length} records are not proven`);
    else tell(said, "yes", `✓ proven: ${rows.length} of ${rows.length} records are in the signed log, as this page shows them`);
  }

  function facts({ head, signed }) {
    const words = { origin: head.origin, size: String(head.size), root: hex(head.root), signed: signed ? "by the key below, checked here" : "this browser cannot check the signature" };
    for (const [name, text] of Object.entries(words)) document.querySelector(`[data-fact="${name}"]`).textContent = text;
    document.querySelector("#proof-facts").hidden = false;
  }

  if (!button) {
    // not an auditor's page
  } else if (globalThis.crypto?.subtle) {
    button.hidden = false;
    button.addEventListener("click", verify);
  } else {
    said.textContent = "This browser has no WebCrypto here: open the console by https or on this machine.";
  }
}
