#pragma once

namespace dstack::runner {

// How many columns of a terminal a printable character takes: 0 for one that joins the character before it, 2 for the
// wide ones of East Asia and emoji, else 1. The same on every machine, whatever its locale.
unsigned columns_of(char32_t character);

}  // namespace dstack::runner
