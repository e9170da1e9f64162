package lint

var principalRules []Rule
