// A box takes the focus where it can be scrolled, and not where it holds all that it shows. Without this script all do.

function focusWhereScrolled(box) {
  const update = () => {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute('tabindex');
  };
  const sizes = new ResizeObserver(update);
  sizes.observe(box);
  sizes.observe(box.firstElementChild);
}

for (const box of document.querySelectorAll('.wide')) {
  if (!box.querySelector('svg[data-plot]')) focusWhereScrolled(box); // these are read by the arrow keys
}
