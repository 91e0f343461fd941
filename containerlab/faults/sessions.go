package main

func sessionRows() []row { return nil }
