/* roto 0.1.0: finds landmarks in frames with networks trained by roto-train.  One header, C99 or C++11, no dependency.
 *
 * Use
 *   In exactly one file of the program:
 *     #define ROTO_IMPLEMENTATION
 *     #include "roto.h"
 *   and everywhere else the #include alone.  Then:
 *     roto_model *model;
 *     roto_session *session;
 *     roto_open_file("face.roto", NULL, &model);
 *     roto_session_create(model, NULL, &session);
 *     roto_find_landmarks(session, &image, crop, points);
 *   No compiler flag is needed: the kernels for each instruction set carry their own target attribute and are chosen when
 *   the model is opened.  With -fopenmp a session uses OpenMP's threads.
 *
 * Macros, to define before the #include
 *   ROTO_IMPLEMENTATION   compile the implementation here
 *   ROTO_STATIC           every function is private to this file; for libraries, so that two of them can be linked together
 *   ROTO_NO_STDIO         no <stdio.h>, no roto_open_file
 *   ROTO_NO_SIMD          plain C only
 *   ROTO_MALLOC(size), ROTO_FREE(block)   both or neither: used where no roto_allocator is given
 *   ROTO_ASSERT(condition)   the library's own invariants, off unless defined; no input can make one fail
 *   ROTO_ALLOW_FAST_MATH  compile under -ffast-math all the same, without any promise about the results
 *
 * Threads
 *   A loaded model is never written: share it.  A session belongs to one thread at a time.  There are no globals.
 *
 * Errors
 *   Every call that can fail returns a roto_status; roto_error in the options says where a file is wrong.  Nothing prints,
 *   aborts or reads the environment.  Loading validates the whole file by the numbered rules of model_format/SPEC.md;
 *   afterwards nothing that came from the file is used as an index unchecked.
 *
 * Numbers
 *   The same model, input and instruction set give the same bits, for any number of threads and any compiler flags but
 *   fast-math.  Instruction sets agree within the tolerance that the model's self-test states.
 *
 * Letters for shapes, everywhere: n images, h height, w width, c channels, ic and oc input and output channels, kh and kw
 * kernel height and width, cs channel stride.  Values are NHWC.
 *
 * License: MIT, see the end of this comment.
 *
 * Copyright (c) the roto authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
 * files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
 * modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
 * Software is furnished to do so, subject to the following conditions: The above copyright notice and this permission notice
 * shall be included in all copies or substantial portions of the Software.  THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY
 * OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
 * PURPOSE AND NONINFRINGEMENT.  IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR
 * THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
