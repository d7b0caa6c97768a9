/** The screens, each with the letter that follows `g`. */
export const SCREENS = [
    { name: "overview", title: "Overview", letter: "o" },
    { name: "live", title: "Live", letter: "l" },
    { name: "refused", title: "Refused", letter: "r" },
    { name: "customer", title: "Customer", letter: "c" },
    { name: "limits", title: "Limits", letter: "m" },
    { name: "service", title: "Service", letter: "s" },
];
