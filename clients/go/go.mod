module example.org/genstore

go 1.21
