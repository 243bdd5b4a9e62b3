// The list of contents begins closed where it would fill the screen. Without this script it is open.
const contents = document.querySelector('.contents details');
if (contents) contents.open = matchMedia('(min-width: 75rem)').matches;
