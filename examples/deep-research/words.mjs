// What the library and the endpoint know of words and sentences.
const idle = new Set(
  ("a about after all also an and any are as at be because been before between but by can could did do does for from " +
    "get give had has have he her him his how i if in into is it its more most no nor not of off on one only or other " +
    "our out over own same she so some such tell than that the their them then there they this those to too up use " +
    "used very was we were what when where which while who why will with would you your").split(" "),
);

/** The words of a text that mean something, without their endings. */
export function terms(text) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.filter((word) => !idle.has(word)).map(stem);
}

function stem(word) {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 3 && word.endsWith("s") && !word.endsWith("ss")) return word.slice(0, -1);
  return word;
}

const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

const short = 4; // words: a sentence with less says nothing by itself

/** The n sentences of a text that have most of the wanted words in them, in their order. */
export function telling(text, wanted, n) {
  const want = new Set(wanted);
  return [...segmenter.segment(text)]
    .map(({ segment }, place) => {
      const words = terms(segment);
      const score = words.length < short ? 0 : new Set(words.filter((word) => want.has(word))).size;
      return { text: segment.trim(), place, score };
    })
    .sort((a, b) => b.score - a.score || a.place - b.place)
    .slice(0, n)
    .sort((a, b) => a.place - b.place);
}
