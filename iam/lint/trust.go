package lint

var trustRules []Rule
