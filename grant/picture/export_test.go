package picture

import "github.com/crossaccount/crossaccount/grant"

// TextBox is where a text is, as the picture reckoned it.
type TextBox struct {
	X, Y, W, H float64
	Text       string
}

// TextBoxes returns the boxes of all texts of a picture, and its size.
func TextBoxes(m *grant.Matrix, layout Layout) (boxes []TextBox, width, height float64) {
	c := draw(m, layout)
	for _, t := range c.texts {
		boxes = append(boxes, TextBox{t.x, t.y, t.w, t.h, t.text})
	}
	return boxes, c.width, c.height
}
