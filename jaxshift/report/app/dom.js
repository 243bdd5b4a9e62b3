// Elements, whose texts are never markup.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

// Characters that would act, or hide: controls, line and paragraph separators, marks of direction, tags, no width.
const UNSEEN = new RegExp(
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff' +
  '\\u{e0000}-\\u{e007f}]', 'gu',
);

// A text as it can be looked at: ends of lines and unseen characters have a mark; blanks where `marks` asks for them,
// behind which a line may still be broken.
function visible(text, marks) {
  const shown = text.replace(UNSEEN, unseen).replaceAll('\n', '⏎\n').replaceAll('\t', '⇥\t');
  return marks ? shown.replaceAll(' ', '·\u200b').replaceAll('\u00a0', '⍽') : shown;
}

function unseen(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

// A token in one line.
function tokenName(text) {
  return text === '' ? '(nothing)' : visible(text, true).replace(/[\n\t\u200b]/g, '');
}

function counted(count, thing) {
  return `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`;
}
