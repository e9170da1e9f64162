module github.com/crossaccount/crossaccount/test/oracle

go 1.26.0

require github.com/crossaccount/crossaccount v0.0.0

require go.yaml.in/yaml/v4 v4.0.0 // indirect

replace github.com/crossaccount/crossaccount => ../..
