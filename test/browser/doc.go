// Package browser tries the customer's pages in a real browser, Chromium: whole
// onboardings against the sandbox, with and without JavaScript, by mouse and by
// keyboard, judged by axe-core, and photographed for the docs.
//
// It is a module of its own so that nobody else needs chromedp.
package browser
