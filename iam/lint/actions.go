package lint

var actionRules []Rule
