module github.com/crossaccount/crossaccount/tools

go 1.26.0
