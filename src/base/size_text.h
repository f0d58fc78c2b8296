// size_text: an amount of bytes for people. Thread: any.
#pragma once

#include <string>

namespace pippin {

/// Returns "98 MB", "1.2 GB": in thousands.
std::string size_text(double bytes);

}  // namespace pippin
