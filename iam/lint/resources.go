package lint

var resourceRules []Rule
