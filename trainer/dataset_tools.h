/* The commands around data sets: `roto-train dataset info|crop|import` and `roto-train revectorize`.  All write a folder of shots
 * in the layout of dataset.h with the template beside them, file by file under temporary names, and never over what they read. */

#ifndef ROTO_DATASET_TOOLS_H
#define ROTO_DATASET_TOOLS_H

int dataset_main(int argc, char **argv);
int revectorize_main(int argc, char **argv);

#endif
