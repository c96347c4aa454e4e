// Sets the chosen theme before the first paint, so that nothing flashes. The choice itself is made in src/theme.svelte.ts.
(function () {
  try {
    var theme = localStorage.getItem('pipecast.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch (error) {
    // Storage may be forbidden; the system's theme holds then.
  }
})();
