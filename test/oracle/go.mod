module github.com/crossaccount/crossaccount/test/oracle

go 1.26.0

require github.com/crossaccount/crossaccount v0.0.0

replace github.com/crossaccount/crossaccount => ../..
