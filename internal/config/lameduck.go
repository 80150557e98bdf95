package config

// lame checks what is said of lame ducks: it is for those who have clients, and
// can only end early what there is.
func (d *draft) lame() error {
	switch {
	case d.LameDuckQuiet > 0 && d.LameDuck == 0:
		return d.where("lame_duck_quiet").fail("add lame_duck, or take it out", "ends early what there is not")
	case d.LameDuck > 0 && len(d.Listen) == 0:
		return d.where("lame_duck").fail("add listen, or take it out", "is about clients, and %s has no listeners", d.Name)
	}
	return nil
}
