package lint

var conditionRules []Rule
