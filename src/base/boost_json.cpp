// Boost.JSON itself, compiled once for all modules that read it.
#include <boost/json/src.hpp>
