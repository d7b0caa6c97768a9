// Not a module, so that it runs before the first paint and no wrong theme flashes.
try {
    const theme = localStorage.getItem("footfall-theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
    // A browser may refuse storage. The page then follows the system.
}
