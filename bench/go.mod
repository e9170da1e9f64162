// Benchmarks are a module of their own, so that what they compare with is no
// dependency of the product.
module github.com/crossaccount/crossaccount/bench

go 1.26.0

require github.com/crossaccount/crossaccount v0.0.0

replace github.com/crossaccount/crossaccount => ../
