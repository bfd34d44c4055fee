# The unit tests with one library for all files, from what split.py wrote into OUT.
# Variables: OUT (a directory), CC, CXX, FLAGS (for all), LIBRARY_FLAGS.
root := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))../..)
own_library := test_faults # between the library and the system's calls
sources := $(filter-out $(own_library:%=$(root)/tests/unit/%.cpp),$(wildcard $(root)/tests/unit/*.cpp))
objects := $(patsubst $(root)/tests/unit/%.cpp,$(OUT)/%.o,$(sources))

$(OUT)/unit: $(OUT)/library.o $(objects)
	$(CXX) $(FLAGS) $(LIBRARY_FLAGS) -o $@ $^

$(OUT)/library.o: $(OUT)/library.c
	$(CC) -std=c99 $(FLAGS) $(LIBRARY_FLAGS) -c -o $@ $<

$(OUT)/%.o: $(root)/tests/unit/%.cpp $(OUT)/declarations.h
	$(CXX) -std=c++$(if $(findstring test_hpp,$<),20,17) $(FLAGS) -DDOCTEST_CONFIG_USE_STD_HEADERS -MMD -I$(root) \
		-include $(OUT)/declarations.h -c -o $@ $<

-include $(objects:.o=.d)
