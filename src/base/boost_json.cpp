// Boost.JSON itself, compiled once for all rooms that read it.
#include <boost/json/src.hpp>
