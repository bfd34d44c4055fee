/* main() of gmpunch_unit; the test cases are in the other files. */
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
