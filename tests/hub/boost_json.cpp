// Boost.JSON itself, which service/json.cpp holds in the program.
#include <boost/json/src.hpp>
