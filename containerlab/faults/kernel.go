package main

func kernelRows() []row { return nil }
