/* The library as an application has it, compiled as C: what test files use that do not include gmpunch_internal.hpp. */
#define GMPUNCH_IMPLEMENTATION
#include "gmpunch.h"
