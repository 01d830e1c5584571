// Writes js31.json beside this file. Run by hand, never by a test:
//
//     node tests/vectors/make-js31.mjs
//
// The hash stands here as services write it in JavaScript, so that Node itself says what a 32-bit wrap over UTF-16 units is.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";

function absolute(text) {
  let h = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    h = (h << 5) - h + c;
    h = h & h;
  }
  return Math.abs(h);
}
const position = (text) => (absolute(text) % 100) * 1000;

const known = {
  "": 0,
  user1: 111578566,
  "internal-user-1": 1706504127,
  ngày: 3383058,
  "😀": 1772899,
  polygenelubricants: 2147483648, // the one magnitude past a signed 32-bit number
};
for (const [text, value] of Object.entries(known)) assert.equal(absolute(text), value, text);
// At 5 % the positions below 5,000 are in.
assert.equal(Array.from({ length: 1000 }, (_, n) => `user-${n}`).filter((user) => position(user) < 5000).length, 39);

const texts = new Set(Object.keys(known));
for (const text of [
  "a", "0", " ", "\0", "a\0", "\0a", "a\0b", "\n", "user", "User1", "USER1", "user-42", "user@example.com", "tenant/7/user/9",
  "café", "cafe\u0301", "nga\u0300y", "Straße", "İ", "пользователь", "ユーザー", "用户", "مستخدم", "\uffff", "\ufffd", "\ufeffbom",
  "𝒳", "𠜎", "user-😀", "😀😀", "👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "\u{10ffff}", "\u{10000}", "Aa", "BB", "AaAa", "BBBB", "AaBB",
  "GydZG_", "DESIGNING WORKHOUSES", "1", "-1", "42", "-42", "9007199254740991", "-9007199254740991",
  "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "3F2504E0-4F89-41D3-9A0C-0305E82C3301", "x".repeat(100), "ngày".repeat(500), "😀".repeat(1000), "z".repeat(5000),
]) texts.add(text);
for (let n = 0; n < 150; n++) texts.add(`user-${n}`);
for (let n = 0; n < 60; n++) texts.add(`internal-user-${n * 7919}`);
for (let n = 0; n < 50; n++) texts.add(`ngày-${n}-${String.fromCodePoint(0x1f600 + n)}`);

const ascii = (text) => JSON.stringify(text).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
const lines = [...texts].map((text) => `{"key": ${ascii(text)}, "absolute": ${absolute(text)}, "position": ${position(text)}}`);
writeFileSync(new URL("js31.json", import.meta.url), `[\n${lines.join(",\n")}\n]\n`);
console.log(`js31.json: ${lines.length} cases`);
